"""What the authors of BLiMP report for GPT-2 large, by paradigm, to stand beside a measurement.

In: the name of a paradigm (a file's `UID`). Out: its phenomenon and the accuracy. Source: the table of results by
whole-sentence probability in the authors' repository (github.com/alexwarstadt/blimp, CC BY 4.0), which belongs to
Warstadt et al. 2020, "BLiMP: The Benchmark of Linguistic Minimal Pairs for English".
"""

from collections.abc import Iterable
from statistics import fmean

ACCURACY: dict[str, dict[str, float]] = {
    "anaphor_agreement": {
        "anaphor_gender_agreement": 0.994,
        "anaphor_number_agreement": 0.992,
    },
    "argument_structure": {
        "animate_subject_passive": 0.766,
        "animate_subject_trans": 0.849,
        "causative": 0.782,
        "drop_argument": 0.807,
        "inchoative": 0.659,
        "intransitive": 0.842,
        "passive_1": 0.893,
        "passive_2": 0.902,
        "transitive": 0.86,
    },
    "binding": {
        "principle_A_c_command": 0.737,
        "principle_A_case_1": 1.0,
        "principle_A_case_2": 0.948,
        "principle_A_domain_1": 0.984,
        "principle_A_domain_2": 0.775,
        "principle_A_domain_3": 0.754,
        "principle_A_reconstruction": 0.468,
    },
    "control_raising": {
        "existential_there_object_raising": 0.784,
        "existential_there_subject_raising": 0.911,
        "expletive_it_object_raising": 0.792,
        "tough_vs_raising_1": 0.72,
        "tough_vs_raising_2": 0.889,
    },
    "determiner_noun_agreement": {
        "determiner_noun_agreement_1": 0.988,
        "determiner_noun_agreement_2": 0.977,
        "determiner_noun_agreement_irregular_1": 0.957,
        "determiner_noun_agreement_irregular_2": 0.953,
        "determiner_noun_agreement_with_adj_2": 0.949,
        "determiner_noun_agreement_with_adj_irregular_1": 0.927,
        "determiner_noun_agreement_with_adj_irregular_2": 0.94,
        "determiner_noun_agreement_with_adjective_1": 0.975,
    },
    "ellipsis": {
        "ellipsis_n_bar_1": 0.915,
        "ellipsis_n_bar_2": 0.872,
    },
    "filler_gap_dependency": {
        "wh_questions_object_gap": 0.842,
        "wh_questions_subject_gap": 0.956,
        "wh_questions_subject_gap_long_distance": 0.871,
        "wh_vs_that_no_gap": 0.968,
        "wh_vs_that_no_gap_long_distance": 0.938,
        "wh_vs_that_with_gap": 0.551,
        "wh_vs_that_with_gap_long_distance": 0.563,
    },
    "irregular_forms": {
        "irregular_past_participle_adjectives": 0.977,
        "irregular_past_participle_verbs": 0.861,
    },
    "island_effects": {
        "adjunct_island": 0.894,
        "complex_NP_island": 0.722,
        "coordinate_structure_constraint_complex_left_branch": 0.81,
        "coordinate_structure_constraint_object_extraction": 0.854,
        "left_branch_island_echo_question": 0.523,
        "left_branch_island_simple_question": 0.871,
        "sentential_subject_island": 0.355,
        "wh_island": 0.789,
    },
    "npi_licensing": {
        "matrix_question_npi_licensor_present": 0.654,
        "npi_present_1": 0.648,
        "npi_present_2": 0.643,
        "only_npi_licensor_present": 0.945,
        "only_npi_scope": 0.785,
        "sentential_negation_npi_licensor_present": 0.971,
        "sentential_negation_npi_scope": 0.732,
    },
    "quantifiers": {
        "existential_there_quantifiers_1": 0.995,
        "existential_there_quantifiers_2": 0.424,
        "superlative_quantifiers_1": 0.87,
        "superlative_quantifiers_2": 0.872,
    },
    "subject_verb_agreement": {
        "distractor_agreement_relational_noun": 0.795,
        "distractor_agreement_relative_clause": 0.657,
        "irregular_plural_subject_verb_agreement_1": 0.928,
        "irregular_plural_subject_verb_agreement_2": 0.924,
        "regular_plural_subject_verb_agreement_1": 0.967,
        "regular_plural_subject_verb_agreement_2": 0.91,
    },
}
"""By phenomenon, then by paradigm, as the paper groups them."""

PHENOMENON = {paradigm: phenomenon for phenomenon, of in ACCURACY.items() for paradigm in of}


def published(paradigms: Iterable[str]) -> float | None:
    """The mean accuracy of GPT-2 large over these paradigms; None where one of them is not BLiMP's."""
    names = sorted(set(paradigms))
    if not names or any(name not in PHENOMENON for name in names):
        return None
    return fmean(ACCURACY[PHENOMENON[name]][name] for name in names)
