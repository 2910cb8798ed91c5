"""lm-eval's own tasks, on a text model and on one that sees: its metrics, before and after training."""

import json
from pathlib import Path

import lm_eval.tasks
import pytest
from lm_eval.tasks import TaskManager

from eval.core.errors import UserError
from eval.pipeline.lm_tasks import evaluate_tasks, line
from eval.settings import EvalSettings
from runners.run.model import BASE, locate
from tests.support.families import build

pytestmark = pytest.mark.slow
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {data}}}
test_split: train
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
metadata: {{version: 1}}
"""
SAYS = "generation_kwargs: {until: [], max_gen_toks: 4}\nmetric_list: [{metric: exact_match}]\n"
PICKS = 'doc_to_choice: ["0", "1", "2"]\nmetric_list: [{metric: acc}]\n'


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two tasks over three sums: one is answered in words, of the other the likeliest choice counts."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [{"question": f"{i} + 1 = ?", "answer": str(i + 1)} for i in range(3)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, kind, more in (("says", "generate_until", SAYS), ("picks", "multiple_choice", PICKS)):
        text = TASK.format(name=name, data=folder / "sums.jsonl", kind=kind) + more
        (folder / f"{name}.yaml").write_text(text.replace("answer", "answer|int - 1") if name == "picks" else text)
    return str(folder / "says.yaml"), str(folder / "picks.yaml")


def _settings(*tasks: str) -> EvalSettings:
    return EvalSettings(benches=(), tasks=tasks, device="cpu")


@pytest.mark.parametrize("text", [True, False])
def test_its_metrics_are_kept_beside_ours(
    text: bool, tasks: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(build("llama", tmp_path / "llama")) if text else locate("embedded")
    monkeypatch.setattr("lm_eval.models.huggingface.postprocess_generated_text", lambda **_: "2")
    found = evaluate_tasks(model, _settings(*tasks), tmp_path / "out")
    monkeypatch.undo()
    says, picks = (found[task] for task in tasks)
    assert says["metrics"]["says"]["exact_match,none"] == pytest.approx(1 / 3), "the second of three answers is 2"
    assert 0 <= picks["metrics"]["picks"]["acc,none"] <= 1
    assert (says["n"], says["leakage"]["mention"]["n"], picks["leakage"]["mention"]["n"]) == (3, 3, 0)
    samples = (tmp_path / "out" / "says" / "lm_eval_samples.jsonl").read_text().splitlines()
    assert [json.loads(sample)["replies"] for sample in samples] == [["2"]] * 3
    assert line(tasks[0], says).startswith("says: exact_match 0.3333 +- 0.33, mention in 0 of 3 replies")

    def not_again(*_: object) -> None:
        raise AssertionError("what is there is evaluated again")

    monkeypatch.setattr("eval.pipeline.lm_tasks.loaded_engine", not_again)
    assert evaluate_tasks(model, _settings(*tasks), tmp_path / "out") == found
    with pytest.raises(UserError, match="holds another evaluation"):
        evaluate_tasks(model, _settings(*tasks).model_copy(update={"limit": 1}), tmp_path / "out")


@pytest.fixture
def few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of lm-eval's 14,000 files those of gsm8k, as they lie there: to read them all takes half a minute."""
    some = TaskManager(include_path=Path(lm_eval.tasks.__file__).parent / "gsm8k", include_defaults=False)
    assert "gsm8k" in some.task_index
    monkeypatch.setattr("eval.pipeline.lm_tasks._manager", lambda index: some)


@pytest.mark.usefixtures("few_names")
def test_data_that_are_not_there_are_one_line_too(tmp_path: Path) -> None:
    """The tests have no hub: the task is found, and what it asks for is told with what to do."""
    with pytest.raises(UserError, match=r"the task gsm8k .*openai/gsm8k.*HF_HOME") as told:
        evaluate_tasks(str(BASE), _settings("gsm8k"), tmp_path)
    assert "\n" not in str(told.value)
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("few_names")
def test_a_name_that_nobody_knows_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^unknown bench 'gsm9k': choose from mmmu, .*, or a task of lm-eval"):
        evaluate_tasks(str(BASE), _settings("gsm9k"), tmp_path)
    assert not [*tmp_path.iterdir()]
