"""What the worker process does: jobs off the queue, by kind, and the chores between them."""
