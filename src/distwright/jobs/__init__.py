"""Work as data: orders with an identity, steps, leases, fences. The job table is the truth; engines only carry hints."""
