"""What differs between the runs."""

from reports.sections.differs import method_parameters, setting_differences
from reports.suite.read import load_suite
from tests.support.report_suite import write_run, write_suite


def test_differences_name_only_what_the_methods_do_not_share(tmp_path):
    suite = write_suite(tmp_path / "s")
    assert setting_differences(load_suite(suite)) == {}
    path = suite / "opsd/seed0/settings.yaml"
    path.write_text(path.read_text().replace("5.0e-05", "1.0e-05"))
    write_run(suite, "rlsd", 1)
    found = setting_differences(load_suite(suite))
    assert set(found) == {"train.learning_rate", "seed"}
    assert found["train.learning_rate"]["OPSD"] == "1e-05"
    assert found["train.learning_rate"]["GRPO"] == "5e-05"
    assert found["seed"]["RLSD"] == "0, 1"
    assert found["seed"]["OPSD"] == "0"
    parameters = method_parameters(load_suite(suite))
    assert parameters["RLSD"] == {"lambda_steps": "50"}
    assert parameters["GRPO"] == {}
    assert "Base" not in parameters
