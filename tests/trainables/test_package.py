from __future__ import annotations

import subprocess
import sys

import phylon.trainables


def test_every_public_name_is_there() -> None:
    for name in phylon.trainables._HOMES:
        assert name in dir(phylon.trainables)
        assert getattr(phylon.trainables, name) is not None


def test_a_driver_can_load_tasks_and_evaluators_without_torch() -> None:
    program = (
        "import sys\n"
        "from phylon.trainables import LightningEvaluator, Training, describe, load_task\n"
        "task = load_task('digits')\n"
        "LightningEvaluator(task, Training(), seed=1)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
