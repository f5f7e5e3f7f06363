"""What is known of how good answers are: judges, what they rest on, and how far each can be trusted."""
