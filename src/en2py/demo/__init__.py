"""A local web page on which a trained model answers: `python demo.py best.ckpt`."""
