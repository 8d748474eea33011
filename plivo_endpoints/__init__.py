"""Async-first client for Plivo SIP endpoints and JWTs."""
