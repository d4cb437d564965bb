"""llama.cpp's HTTP server around one model file: llm_server.py FILE PORT NAME. Runs until it is stopped.

One thread: with more the waiting threads spin, which on a busy machine costs most of the speed.
"""
import signal
import sys

import xllamacpp

path, port, name = sys.argv[1:4]
params = xllamacpp.CommonParams()
params.model.path = path
params.model_alias = {name}
params.hostnames = ["127.0.0.1"]
params.port = int(port)
params.n_parallel = 4
params.n_ctx = params.n_parallel * 2048
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.use_jinja = True
params.endpoint_metrics = True
server = xllamacpp.Server(params)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.pause()
