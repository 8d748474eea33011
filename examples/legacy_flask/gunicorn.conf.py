"""Settings of gunicorn, which reads them from the folder in which it starts."""

workers = 2
worker_class = "sync"
preload_app = True
timeout = 30
graceful_timeout = 20  # a create that is under way gets its answer
