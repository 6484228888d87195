"""The configuration reference, generated from the tree of settings.

``python -m gzsl_dist.config.reference > docs/configuration.md``
"""

from __future__ import annotations

from typing import Any

from gzsl_dist.config.command_line import section_of, setting_fields, value_hint
from gzsl_dist.config.nested import flat
from gzsl_dist.config.presets import BASELINES, PRESETS

HEAD = """# Settings

Made from `gzsl_dist/config`: `python -m gzsl_dist.config.reference > docs/configuration.md`.

A setting comes from the command line (`--train.steps 100`), else from the file that `--config`
names, else from here; what is empty here comes from the method's preset, below. Each run writes all
of its settings to `config.yaml`.
"""


def reference() -> str:
    """The text of docs/configuration.md."""
    lines = [HEAD]
    section = None
    for name, field in setting_fields():
        if section_of(name) != section:
            section = section_of(name)
            lines += [f"## {section}", "", "| setting | values | default | |", "|---|---|---|---|"]
        default = field.get_default(call_default_factory=False)
        shown = "" if default is None else f"`{_plain(default)}`"
        values = value_hint(field.annotation).replace("|", " \\| ")
        lines.append(f"| `{name}` | {values} | {shown} | {field.description} |")
    presets = {name: flat(PRESETS[name]) for name in PRESETS if name not in BASELINES}
    lines += ["", "## Presets", "", f"| setting | {' | '.join(presets)} |"]
    lines.append("|---|" + "---|" * len(presets))
    for name in flat(PRESETS["iapc"]):
        cells = " | ".join(str(_plain(values.get(name, 0.0))) for values in presets.values())
        lines.append(f"| `{name}` | {cells} |")
    text = "\n".join(lines) + "\n"
    return text.replace("|\n## ", "|\n\n## ")


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


if __name__ == "__main__":
    print(reference(), end="")
