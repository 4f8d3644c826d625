"""A real ClickHouse server (HTTP and native TCP) out of libchdb.so, the embedded engine.

The library exports `chdb_query_cmdline(argc, argv)`, clickhouse-local's command line. Its query
`SYSTEM START LISTEN` opens the server's own HTTP and TCP handlers; the query after it keeps the process busy.
SIGTERM and SIGKILL end it at once, which MergeTree tables bear: parts are whole or not there.

usage: clickhouse_server.py LIBCHDB DATA_FOLDER HTTP_PORT TCP_PORT [argument of clickhouse-local ...]
"""

from __future__ import annotations

import ctypes
import sys

FOREVER = (
    "SELECT sleepEachRow(1) FROM numbers(1000000000) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, max_execution_time = 0 FORMAT Null"
)
SCRIPT = f"SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; {FOREVER}"


def main(library: str, folder: str, http_port: str, tcp_port: str, *extra: str) -> int:
    engine = ctypes.CDLL(library)
    engine.chdb_query_cmdline.restype = ctypes.c_void_p
    engine.chdb_query_cmdline.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    engine.chdb_result_error.restype = ctypes.c_char_p
    engine.chdb_result_error.argtypes = [ctypes.c_void_p]
    local = ["clickhouse", "--path", folder, *extra, "--query", SCRIPT]
    server = ["--", f"--http_port={http_port}", f"--tcp_port={tcp_port}", "--listen_host=127.0.0.1"]
    arguments = [argument.encode() for argument in (*local, *server)]
    result = engine.chdb_query_cmdline(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
    error = engine.chdb_result_error(result) if result else b"no result"
    text = (error or b"the query that keeps the server up ended").decode(errors="replace")
    print(text.split(", Stack trace")[0], file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
