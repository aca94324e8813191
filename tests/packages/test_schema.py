"""The JSON Schema takes every document that we show, and refuses broken ones."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from conftest import ROOT, Installed

# Components that this version does not have; the test kit puts fakes in their place.
FOREIGN = {"bindings.aws.sqs"}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every component and every policy document of the repository that is meant to be right."""
    for file in sorted(ROOT.glob("examples/**/*.yaml")):
        yield from named(file, file.read_text())
    for file in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        for block in re.findall(r"^```ya?ml\n(.*?)^```$", file.read_text(), re.MULTILINE | re.DOTALL):
            yield from named(file, block)
    for file in sorted(ROOT.glob("tests/spec/*.yaml")):
        if file.name == "documents.yaml":
            # Works as in Dapr, and is what the schema is there to warn of: names that are no texts, and the like.
            continue
        for case in yaml.safe_load(file.read_text()):
            if isinstance(case.get("components"), str) and {"faults": []} in case["steps"]:
                yield from named(file, case["components"])


def named(file: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in yaml.safe_load_all(text):
        if not isinstance(document, dict) or "kind" not in document:
            continue
        if document.get("spec", {}).get("type") not in FOREIGN:
            yield f"{file.relative_to(ROOT)}: {document['metadata']['name']}", document


GOOD: dict[str, Any] = yaml.safe_load("""
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: checkout
spec:
  type: bindings.kafka
  version: v1
  metadata:
  - {name: brokers, value: "localhost:9092"}
  - {name: PUBLISHTOPIC, value: orders}
  - {name: consumerID, value: group1}
  - {name: initialOffset, value: OLDEST}
  - {name: maxInFlight, value: "8"}
  - {name: sessionTimeout, value: 10}
  - {name: maxMessageBytes, value: 4Mi}
  - {name: authRequired, value: false}
  - {name: saslPassword, secretKeyRef: {name: kafka, key: password}}
  - {name: saslUsername, envRef: KAFKA_USER}
auth:
  secretStore: local
scopes: [shop]
""")

POLICIES: dict[str, Any] = yaml.safe_load("""
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: policies}
spec:
  policies:
    timeouts: {fast: 5s, slow: 30000}
    retries:
      few: {policy: exponential, maxInterval: 15s, maxRetries: 10, matching: {httpStatusCodes: "429,500-599"}}
    circuitBreakers:
      usual: {maxRequests: 1, interval: 8s, timeout: 45s, trip: consecutiveFailures > 8}
  targets:
    components:
      checkout: {outbound: {timeout: fast, retry: few, circuitBreaker: usual}, inbound: {}}
""")


@pytest.fixture(scope="session")
def validator(installed: Installed) -> Draft7Validator:
    schema = json.loads(installed.run(installed.command, "schema"))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def faults(validator: Draft7Validator, document: object) -> list[str]:
    return [f"{list(fault.absolute_path)}: {fault.message}" for fault in validator.iter_errors(document)]


def test_all_documents_of_the_repository_are_valid(validator: Draft7Validator) -> None:
    found = list(documents())
    assert len(found) > 20
    for name, document in found:
        assert faults(validator, document) == [], name


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        POLICIES,
        None,
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}},
        {**GOOD, "spec": {"type": "state.redis", "version": "v1", "metadata": [{"name": "any", "value": "x"}]}},
        {**GOOD, "spec": {"type": "bindings.memory"}},
    ],
    ids=str,
)
def test_good_documents_are_valid(validator: Draft7Validator, document: object) -> None:
    assert faults(validator, document) == []


def with_item(item: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    document["spec"]["metadata"].append(item)
    return document


def with_spec(**spec: object) -> dict[str, Any]:
    return {**GOOD, "spec": {**GOOD["spec"], **spec}}


BROKEN: dict[str, object] = {
    "no kind": {"apiVersion": "dapr.io/v1alpha1"},
    "no name": {**GOOD, "metadata": {}},
    "a name with a slash": {**GOOD, "metadata": {"name": "a/b"}},
    "no spec": {key: value for key, value in GOOD.items() if key != "spec"},
    "no type": with_spec(type=None),
    "an unknown type": with_spec(type="bindings.kafak"),
    "an unknown version": with_spec(version="v7"),
    "a misspelt setting": with_item({"name": "publishTopc", "value": "a"}),
    "a word that is none": with_item({"name": "compression", "value": "zip"}),
    "a text for a number": with_item({"name": "maxQueuedRecords", "value": "many"}),
    "too small a number": with_item({"name": "maxDeliveryCount", "value": 0}),
    "no duration": with_item({"name": "dialTimeout", "value": "soon"}),
    "no size": with_item({"name": "maxQueuedBytes", "value": "64 megabytes"}),
    "no flag": with_item({"name": "consumeRetryEnabled", "value": "ture"}),
    "a list for a text": with_item({"name": "clientID", "value": ["a"]}),
    "two values": with_item({"name": "clientID", "value": "a", "envRef": "B"}),
    "no value": with_item({"name": "clientID"}),
    "no item name": with_item({"value": "a"}),
    "an unknown field of a reference": with_item({"name": "clientID", "secretKeyRef": {"name": "a", "kye": "b"}}),
    "a required setting is missing": with_spec(metadata=[{"name": "publishTopic", "value": "a"}]),
    "no settings where one is required": with_spec(metadata=None),
    "settings as a mapping": with_spec(metadata={"brokers": "localhost:9092"}),
    "an unknown policy field": {**POLICIES, "spec": {"polices": {}}},
    "no policy duration": {**POLICIES, "spec": {"policies": {"timeouts": {"fast": "soon"}}}},
    "an unknown back-off": {**POLICIES, "spec": {"policies": {"retries": {"few": {"policy": "linear"}}}}},
    "an unknown direction": {**POLICIES, "spec": {"targets": {"components": {"a": {"outbuond": {}}}}}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_documents_are_not(validator: Draft7Validator, name: str) -> None:
    assert faults(validator, BROKEN[name]), name
