# The sandbox, for tests in containers: see docs/guides/testing.md.
FROM python:3.13-slim

COPY . /source
RUN pip install --no-cache-dir '/source[cli]'

# nobody: the sandbox writes no files, unless --state names one
USER 65534:65534
EXPOSE 8080

# http.client uses no proxy, whatever the environment says.
HEALTHCHECK --interval=2s --timeout=2s --start-period=10s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8080, timeout=1); c.request('GET', '/_sandbox/health'); exit(c.getresponse().status != 200)"]

CMD ["plivo-endpoints", "sandbox", "--host", "0.0.0.0", "--port", "8080", "--control"]
