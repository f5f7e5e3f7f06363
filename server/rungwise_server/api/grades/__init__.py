"""`/v1/grades`: what is to be graded, the grades, and what they tell so far."""
