CREATE INDEX leases_settled ON leases (settled, ended_at);
