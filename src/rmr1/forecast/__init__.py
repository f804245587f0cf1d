"""What a run would need and take: shapes, machines, memory, time and prices. Nothing is run."""
