"""scikit-learn's own checks of estimators, in a process without run-time checks of types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, warnings
from sklearn.utils.estimator_checks import check_estimator
import train.tabular

warnings.simplefilter("ignore")
estimator = getattr(train.tabular, {name!r})
estimator = estimator(width=4, depth=1, heads=1, random_state=0)
found = check_estimator(
    estimator, on_fail=None, on_skip=None, expected_failed_checks={expected!r}
)
print(json.dumps({{result["check_name"]: result["status"] for result in found}}))
"""
# What scikit-learn itself skips, and why; nothing else may be skipped, and nothing may fail.
EXEMPT = {
    "check_sample_weights_pandas_series": "wants pandas, which this package does not need",
    "check_array_api_input": "wants SCIPY_ARRAY_API=1, before SciPy is imported",
    "check_classifier_data_not_an_array": "wants pandas, which this package does not need",
    "check_regressor_data_not_an_array": "wants pandas, which this package does not need",
}
# What cannot hold, as for scikit-learn's own forests and perceptrons.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "noise of training belongs to the places of "
    "rows; and a row never sees itself, whatever its weight, but sees its twins",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HopularClassifier", "HopularRegressor"])
def test_scikit_learn_is_content(name):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(name=name, expected=EXPECTED)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) > 40
    assert [check for check, status in found.items() if status == "failed"] == []
    assert {check for check, status in found.items() if status == "xfail"} == EXPECTED.keys()
    skipped = [check for check, status in found.items() if status == "skipped"]
    assert set(skipped) <= EXEMPT.keys()
