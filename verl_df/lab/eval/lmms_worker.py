# SPDX-License-Identifier: Apache-2.0
"""Scores responses with lmms-eval; run by `library` with the Python of an environment that has lmms-eval.

Imports nothing of this project. Its argument: how many processes. Reads a JSON object a line: benchmark, doc (the
source's own columns), text, seed; writes one a line, in that order: score and extracted, or error. The first line
written holds the version of lmms-eval.
"""

import importlib
import importlib.metadata
import json
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor


def mathvista(doc, text):
    """Extraction by a language model, then MathVista's normalisation."""
    result = utils("mathvista").mathvista_process_results(doc, [text])["llm_as_judge_eval"]
    if text.strip() and not result["extraction"]:
        raise RuntimeError("the language model extracted nothing: see the messages above")
    return float(result["true_false"]), result["extraction"]


def mathverse(doc, text):
    """Verdict of a language model. lmms-eval's own function counts a failed call as wrong; this one does not."""
    judge = utils("mathverse").mathverse_evaluator.server
    found = judge.evaluate_binary(
        question=doc["question_for_eval"], answer=doc["answer"], prediction=text.strip(), output_format="0/1"
    )
    if not found["success"]:
        raise RuntimeError("the language model gave no verdict: see the messages above")
    return float(found["result"]), None


def mmmu(doc, text):
    """Letter or open answer; a response without any letter gets one at random, from the seed."""
    result = utils("mmmu").mmmu_process_results(doc, [text])["mmmu_acc"]
    verdicts, _ = utils("mmmu").evaluate_mmmu([result])
    return float(verdicts[doc["id"]] == "Correct"), str(result["parsed_pred"][0])


def mathvision(doc, text):
    """Last boxed answer against letter and value."""
    return float(
        utils("mathvision").mathvision_process_results(doc, [text])["mathvision_standard_eval"]["scores"][0]
    ), None


def mmstar(doc, text):
    """Letter, by priority of formats."""
    return utils("mmstar").exact_match(text, doc["answer"]), None


def ai2d(doc, text):
    """The task's filter and its exact match without case and punctuation."""
    filtered = utils("ai2d").MultiChoiceRegexFilter().apply([[text]], [doc])[0]
    target = utils("ai2d").ai2d_doc_to_target(doc, "mcq")
    match = importlib.import_module("lmms_eval.api.metrics").exact_match_hf_evaluate
    return float(match([filtered], [target], ignore_case=True, ignore_punctuation=True)["exact_match"]), filtered


SCORERS = {one.__name__: one for one in (mathvista, mathverse, mmmu, mathvision, mmstar, ai2d)}


def utils(benchmark):
    return importlib.import_module(f"lmms_eval.tasks.{benchmark}.utils")


def answer(line):
    question = json.loads(line)
    random.seed(question["seed"])
    try:
        score, extracted = SCORERS[question["benchmark"]](question["doc"], question["text"])
    except Exception as error:  # whatever the library raises is told, sample by sample
        return {"error": f"{type(error).__name__}: {error}"}
    return {"score": score, "extracted": extracted}


def main():
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the library prints is no reply
    print(json.dumps({"version": importlib.metadata.version("lmms_eval")}), file=replies, flush=True)
    with ProcessPoolExecutor(int(sys.argv[1])) as pool:
        for reply in pool.map(answer, sys.stdin.buffer):
            print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
