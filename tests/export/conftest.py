"""Steps that only listen."""

import pytest


class ListeningSteps:
    """Runs every step, and keeps what it was said to depend on."""

    def __init__(self, folder):
        self.folder, self.inputs = folder, {}

    def digest(self, name):
        return f"digest of {name}"

    def run(self, name, inputs, outputs, action, label=None):
        self.inputs[name] = inputs
        return {"seconds": 0.0} | action()


@pytest.fixture
def listening_steps(tmp_path):
    """Makes `ListeningSteps` in a folder, by default the test's."""
    return lambda folder=tmp_path: ListeningSteps(folder)
