"""Free ports, and ports that are taken."""

from __future__ import annotations

import socket

import pytest

from lead_scoring.errors import StackError
from lead_scoring.local.ports import check_free, free_ports


def test_free_ports_are_different_and_never_those_of_outgoing_connections() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        assert max(found) < max(int(file.read().split()[0]), 32768)


def test_a_port_that_listens_is_neither_free_nor_offered() -> None:
    seed = 7
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_ports(1, seed=seed)[0]))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} is taken; .* PORT="):
            check_free("127.0.0.1", port)
        assert port not in free_ports(5, seed=seed)
    check_free("127.0.0.1", port)


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(StackError, match="from 1 to 65535, got 65536"):
        check_free("127.0.0.1", 65536)


def test_more_ports_than_there_are_is_an_error() -> None:
    with pytest.raises(StackError, match="fewer than 20000 free ports"):
        free_ports(20_000)
