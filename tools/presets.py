"""Presets: read, changed from the command line, and checked. Whatever cannot be is told in one sentence."""

from __future__ import annotations

import difflib
import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from stages import BLOCKS, STAGES

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # of a run; its folder is NAME-sSEED
FOLDER = re.compile(r"\w[\w.+-]*")  # of an experiment or a split: one folder, never a way out of the project
SETTINGS: dict[str, Any] = {
    "notebooks": "notebooks",
    "runs_root": "runs",
    "reports_root": "results",  # reports/ holds the committed reference, which an own run leaves alone
    "seeds": [0],
    "threads": 1,
    "common": {},
    "runs": {},
    "resources": {},
}


class PresetError(ValueError):
    """A preset that cannot run; the message says what is wrong, what was given and what to do."""


def read(name: str) -> dict:
    """The values of a preset; exits with a sentence when there is none of that name or it is no YAML."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in (CONFIGS).glob("*.yaml")))
        sys.exit(f"no preset {name!r}: use one of {known}, or the path of a YAML file")
    values = read_yaml(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if not isinstance(values, dict):
        sys.exit(f"{path} is no preset: it must be names with values, beginning with experiment: NAME")
    return values


def read_yaml(text: str, where: str) -> object:
    """YAML as plain values; exits with the place of a mistake."""
    try:
        return json.loads(json.dumps(yaml.safe_load(text)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        sys.exit(f"{where} is no YAML{line}: {getattr(error, 'problem', None) or error}")
    except (TypeError, ValueError, RecursionError):
        sys.exit(f"{where} holds a value that is no text, number, truth value, list or mapping: put it in quotes")


def overrides(text: str) -> dict:
    """Overrides as nested mappings, from `a.b=1 seeds=[0,1]`; values are YAML and quoted where they hold spaces."""
    try:
        items = shlex.split(text)
    except ValueError:
        sys.exit(f"cannot read the overrides {text!r}: a quote is open")
    result: dict = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not all(key.split(".")):
            sys.exit(f"cannot read the override {item!r}: write notebook.parameter=value, such as common.seed=1")
        *blocks, name = key.split(".")
        place = result
        for block in blocks:
            place = place.setdefault(block, {})
            if not isinstance(place, dict):
                sys.exit(f"cannot read the override {item!r}: {block} has a value already, in the same SET")
        place[name] = read_yaml(value, f"the value of the override {item!r}")
    return result


def merged(values: dict, changes: dict) -> dict:
    """`values` with `changes` laid over them, mappings inside of mappings too."""
    result = dict(values)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def checked(config: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with the settings that it leaves out; PresetError for a key, a kind or a name that cannot be."""
    if not isinstance(config, Mapping) or not config:
        raise PresetError("no preset given: use make run PRESET=demo, or --configfile configs/demo.yaml")
    full = {**SETTINGS, **{key: value for key, value in config.items() if value is not None}}
    known_names(full, ["experiment", *SETTINGS, *STAGES], "the preset")
    for name in ("experiment", "notebooks", "runs_root", "reports_root"):
        if not isinstance(full.get(name), str) or not full[name]:
            raise PresetError(f"{name} must be a text that is not empty, got {full.get(name)!r}: set it in the preset")
    one_folder("experiment", full["experiment"])
    for name in ("common", "runs", "resources", *STAGES):
        if not isinstance(full.get(name, {}), Mapping):
            raise PresetError(f"{name} must be names with values, got {full[name]!r}: write {name}: {{name: value}}")
    for name in ("train_split", "eval_split", "val_split"):
        if full["common"].get(name):
            one_folder(f"common.{name}", full["common"][name])
    seeds, threads = full["seeds"], full["threads"]
    if (
        not isinstance(seeds, list)
        or not seeds
        or len(set(map(str, seeds))) < len(seeds)
        or not all(map(_count, seeds))
    ):
        raise PresetError(
            f"seeds must be different whole numbers from 0 on, got {seeds!r}: write seeds: [0, 1, 2], each below 2**32"
        )
    if not _count(threads) or not threads:
        raise PresetError(f"threads must be a whole number from 1 on, got {threads!r}: those of one notebook's kernel")
    known_names(full["resources"], STAGES, "resources")
    for stage, asked in full["resources"].items():
        if not isinstance(asked, Mapping):
            raise PresetError(f"resources.{stage} must be names with values, got {asked!r}: write {{minutes: 60}}")
        known_names(asked, ("minutes", "mem_mb", "gpu"), f"resources.{stage}")
        for name, value in asked.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise PresetError(f"resources.{stage}.{name} must be a number from 0 on, got {value!r}: correct it")
    return full | {"runs": _checked_runs(full["runs"])}


def _checked_runs(blocks: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The preset's `runs`; one that is `false` is taken out, one without a value has the defaults."""
    known_names(blocks, BLOCKS, "runs")
    kept: dict[str, dict[str, dict[str, Any]]] = {}
    for block, named in blocks.items():
        if not isinstance(named or {}, Mapping):
            raise PresetError(f"runs.{block} must be names with values, got {named!r}: write {block}: {{NAME: {{}}}}")
        for name, given in (named or {}).items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise PresetError(
                    f"runs.{block} names {name!r}: begin with a small letter or a figure, "
                    "then small letters, figures, dots, pluses and hyphens"
                )
            if given is False:
                continue
            if not isinstance({} if given is None else given, Mapping):
                raise PresetError(f"runs.{block}.{name} must be parameters, got {given!r}: write {name}: {{}}")
            kept.setdefault(block, {})[name] = dict(given or {})
    return kept


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def one_folder(name: str, value: Any) -> None:
    if not isinstance(value, str) or not FOLDER.fullmatch(value):
        raise PresetError(
            f"{name} must be the name of one folder, of letters, figures and . + - _, got {value!r}: it names a "
            "folder below runs/ and reports/"
        )


def known_names(given: Iterable[Any], known: Iterable[str], where: str) -> None:
    """PresetError for the first name that is none of the known ones, with the closest of them."""
    known = sorted(known)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise PresetError(f"unknown key in {where}: {name}: {hint}")
