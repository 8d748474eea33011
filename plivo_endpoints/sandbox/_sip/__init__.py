"""A SIP registrar, with which real phones register the sandbox's endpoints.

The protocol logic does no I/O: `_message` reads and writes messages,
`_framing` cuts a stream into messages, `_digest` and `_tokens` check logins, `_registrar` answers.
`_listeners` and `_websocket` connect it to UDP, TCP and WebSocket.
"""
