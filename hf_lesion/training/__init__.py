"""Fine-tuning with the transformers Trainer."""
