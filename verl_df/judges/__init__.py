# SPDX-License-Identifier: Apache-2.0
"""What decides whether a response is right, and whether a repair earned its reward honestly.

`final_answer` is the rule-based task reward, by the `kinds` of ground truths, `score` that of the benchmarks by their
`rules`, `llm_judge` the one by a model behind an OpenAI-compatible endpoint, `auditor` the factor g_aud of Eq. 4,
`audit_log` what the audits leave behind. `endpoint` is the client under the last two.
"""
