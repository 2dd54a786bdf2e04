"""The live page: what a browser needs to run the model itself."""
