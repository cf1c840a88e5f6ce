"""Evaluation of generated code: metrics, execution, baselines, statistics, plots and reports."""
