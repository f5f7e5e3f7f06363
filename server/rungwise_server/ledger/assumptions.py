"""What the ledger takes for granted, with the range in which the truth may lie and who says so. All of it is shown.

Triples are (low, middle, high): the truth is as likely above the middle as below.
"""

from typing import NamedTuple

Range = tuple[float, float, float]


class Assumption(NamedTuple):
    """A range, and why."""

    range: Range
    told: str


PEAK_FLOPS = 989e12
PEAK_TOLD = "dense BF16 of one H100 SXM (NVIDIA's data sheet)"
GPU_BYTES = 80e9
BILLIONS = 8.0
"""The size of a small model, where no candidate of one's own says its size."""

TRAINING_USE = Assumption(
    (0.15, 0.30, 0.43), "share of the peak that training reaches: 38 to 43 % at best (Llama 3, 2024), small runs less"
)
SERVING_USE = Assumption(
    (0.05, 0.10, 0.20),
    "share of the peak that serving reaches, tokens in and out alike: 20 % is about 12,500 tokens/s of an 8B model on "
    "one H100, vLLM's best public figures",
)
PEAK_HOUR = Assumption((2.0, 3.0, 6.0), "how much busier the busiest hour is than the mean one; hardware is for it")
GROWTH = Assumption((0.7, 1.0, 1.5), "the coming year's traffic over today's; --simulate shows others")
PRICE_DRIFT = Assumption(
    (0.6, 1.0, 1.1), "this year's mean price of a token over today's: list prices have fallen more than risen"
)
GPU_DRIFT = Assumption((0.7, 1.0, 1.2), "this year's mean price of hardware over today's")
EPOCHS = Assumption((2.0, 3.0, 4.0), "how often training sees each example")
WRITING = Assumption((3.0, 5.0, 10.0), "how many grades' time it takes to write the right answer")
UPKEEP = Assumption((0.10, 0.25, 0.60), "part of the first outlay that is due again each year: retrain, regrade, mend")
PASSAGE_TOKENS = Assumption((100.0, 150.0, 200.0), "tokens of a passage; ingest makes none longer than 200")
EVALUATION = Assumption(
    (100.0, 200.0, 470.0),
    "graded answers that show a difference: 120 for ten points, 470 for five (paired, 80 % power, 15 % changed)",
)

EXAMPLES_TO_TRY = 100
EXAMPLES_TO_TRY_TOLD = "50 to 100 examples begin to show an effect (OpenAI's finetuning guide)"
EXAMPLES = Assumption((300.0, 1000.0, 3000.0), "1,000 well-chosen examples carry a finetune (LIMA, Zhou et al., 2023)")
CONTINUED_TOKENS = Assumption(
    (0.3e9, 1e9, 5e9), "domains that paid had 2 to 8 billion tokens (Gururangan et al., 2020); under one, finetune"
)
CHINCHILLA = Assumption((15.0, 20.0, 40.0), "20 tokens for each parameter (Chinchilla, Hoffmann et al., 2022)")

RUNS = {
    "finetuned": Assumption((3.0, 5.0, 10.0), "runs until one is good"),
    "continued": Assumption((1.0, 1.3, 2.0), "runs until one is good, broken ones by their part"),
    "scratch": Assumption((1.2, 1.5, 3.0), "runs until one is good, the small ones before it included"),
}
BUILDING = {
    "rag": Assumption((16.0, 40.0, 120.0), "hours of a person to connect sources, set permissions and check"),
    "finetuned": Assumption((24.0, 80.0, 240.0), "hours of a person to make data, train, evaluate and release"),
    "continued": Assumption((80.0, 240.0, 800.0), "hours of a person to clean a corpus and train on it"),
    "scratch": Assumption((2000.0, 4000.0, 10000.0), "hours of people to gather a corpus and train on it"),
}
MOVED = {
    "finetuned": Assumption((0.5, 0.8, 0.95), "share of the traffic that a small finetuned model can take over"),
    "continued": Assumption((0.5, 0.85, 0.97), "share of the traffic that it can take over"),
    "scratch": Assumption((0.2, 0.6, 0.9), "share of the traffic that it can take over"),
}
"""Until an eval run has measured it: then the run's own figure stands in place of this."""
