# SPDX-License-Identifier: Apache-2.0
"""posternctl doctor: a right setup has no finding; of a planted mistake it names the first cause, and the command that mends it."""
import pytest

from doctor import GOOD, Doctor, plain
from load import serve_all


@pytest.mark.parametrize("runs", [True, False], ids=["running", "before"])
@pytest.mark.parametrize("dissolve", ["on", "off"])
def test_a_right_setup_has_no_finding(lab, runs, dissolve):
    serve_all(lab)
    doctor = Doctor(lab, plain(lab, dissolve=dissolve))
    if runs:
        with doctor.postern:
            found = doctor.look(status=GOOD)
            assert not doctor.wrong(), doctor.run().stdout
    else:
        before = lab.host_state()
        found = doctor.look(status=GOOD)
        assert not doctor.wrong(), doctor.run().stdout
        assert lab.host_state() == before
    assert found["running"] is runs
