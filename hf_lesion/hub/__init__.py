"""Publishing on the Hugging Face Hub: folders, cards, checks, uploads and ONNX export."""
