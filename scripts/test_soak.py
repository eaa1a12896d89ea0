"""What a soak leaves behind, and how it ends, with stand-ins for the service and its load."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

SOAK = pathlib.Path(__file__).with_name("soak")
SERVICE = "echo $$ > service.pid\necho 'listening on http://127.0.0.1:1'\nexec sleep 600\n"
#: Far more than it takes on a machine that stands still now and then.
PATIENCE_S = 60


@pytest.fixture
def soak(tmp_path):
    """Starts the script beside a load that does this; what is left of it is ended."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "target" / "release").mkdir(parents=True)
    shutil.copy(SOAK, tmp_path / "scripts")
    started = []

    def start(load):
        for name, does in (("cauce", SERVICE), ("cauce-loadtest", f"echo $$ > load.pid\n{load}\n")):
            program = tmp_path / "target" / "release" / name
            program.write_text("#!/bin/sh\n" + does)
            program.chmod(0o755)
        started.append(subprocess.Popen(["sh", "scripts/soak", "1"], cwd=tmp_path, start_new_session=True))
        return started[0]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def awaited(condition):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    assert condition()


def is_over(process_id):
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_service_and_load(tmp_path, soak, number):
    process = soak("exec sleep 600")
    process_ids = [tmp_path / "service.pid", tmp_path / "load.pid"]
    awaited(lambda: all(path.exists() and path.read_text().strip() for path in process_ids))
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 2
    assert [is_over(path.read_text()) for path in process_ids] == [True, True]
    assert list((tmp_path / "target").glob("soak.*")) == []


@pytest.mark.parametrize("status", [0, 1, 2])
def test_soak_ends_as_its_load_does(tmp_path, soak, status):
    assert soak(f"exit {status}").wait(PATIENCE_S) == status
    assert is_over((tmp_path / "service.pid").read_text())
