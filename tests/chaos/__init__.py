"""Faults on purpose, on real servers: separate `zkp2p-consumer run` processes over a real Kafka and a real ClickHouse,
killed, stopped, cut off and brought back, and afterwards held against the truth.

    python -m tests.chaos --kills 100 --seed 7      what `make chaos` runs
    python -m tests.chaos --failover                how long a partition stands still after a SIGKILL

`stage` has the servers, `member` one process, `produce` the traffic (a process of its own), `strikes` what may
happen, `driver` makes it happen and heals, `verify` compares with the truth, `failover` measures.
"""
