"""Using a trained model: predict, add classes, export."""
