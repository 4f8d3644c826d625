"""What an operator runs beside the consumer: one module a command."""
