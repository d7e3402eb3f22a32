"""Commands about models: trained, measured, published.

Modules:
    train: `tidecast train` and `tidecast models`
    train_ranker: `tidecast train cachemamba`
    report: what a training tells
    evaluate: `tidecast evaluate cascades`
    evaluate_display: what it says
    evaluate_caching: `tidecast evaluate caching`
    options: options that the evaluations have in common
    publish: `tidecast models publish`, `promote` and `rollback`
    show: `tidecast models show`
"""

__all__ = [
    "evaluate",
    "evaluate_caching",
    "evaluate_display",
    "options",
    "publish",
    "report",
    "show",
    "train",
    "train_ranker",
]
