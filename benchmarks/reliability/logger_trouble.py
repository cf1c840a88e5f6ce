"""Train with W&B failing: no network, unresponsive server, expired key, full disk."""

import csv
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from runs import run_folder, start, wait, write_pairs

_BODY = b'{"errors":[{"message":"unauthorized"}]}'
EXPIRED = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


def _server(kind: str) -> str:
    """Return the address of a W&B server that is down, unresponsive, or refuses the key."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            kept.append(connection)
            if kind == "expired key":
                try:
                    connection.recv(65536)
                    connection.sendall(EXPIRED)
                    connection.close()
                except OSError:
                    pass

    if kind != "no network":
        listener.listen(50)
        threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _watched(folder: Path, out: str, env: dict[str, str]) -> dict[str, Any]:
    """Train two epochs; return the exit code and the messages about W&B."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    before = time.monotonic()
    number = start(folder, "logger=wandb", "trainer.max_epochs=2", out=out, **env)
    code = wait(number)
    run = run_folder(folder, out)
    with open(run / "metrics.csv") as file:
        epochs = sum(bool(row["val/nll"]) for row in csv.DictReader(file))
    return {
        "code": code,
        "seconds": round(time.monotonic() - before, 1),
        "epochs_in_metrics": epochs,
        "offline_records": len(list(run.parent.glob("wandb/offline-run-*/*.wandb"))),
        "lines about W&B": [line for line in log.read_text().splitlines() if "W&B" in line],
    }


def measure(quick: bool = False) -> dict[str, Any]:
    """Return, for each kind of failure, the delay of the run and its messages."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        found["offline"] = _watched(folder, "offline", {"WANDB_MODE": "offline"})
        for kind in ("no network", "silent server", "expired key"):
            env = {"WANDB_BASE_URL": _server(kind), "WANDB_API_KEY": "0" * 40, "WANDB_MODE": ""}
            found[kind] = _watched(folder, kind.replace(" ", "-"), env)
        env = {"WANDB_BASE_URL": _server("no network"), "WANDB_API_KEY": "ab" * 20}
        found["online, no network"] = _watched(folder, "online", env | {"WANDB_MODE": "online"})
        found["disabled"] = _watched(
            folder, "disabled", {"WANDB_DISABLED": "true", "WANDB_MODE": ""}
        )
        disk = folder / "full" / "adhoc" / "wandb"
        disk.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            found["full disk"] = "skipped: mounting a tmpfs is not permitted here"
        else:
            try:
                found["full disk"] = _watched(folder, "full", {"WANDB_MODE": "offline"})
            finally:
                subprocess.run(["umount", "--lazy", str(disk)], check=True)
    return found
