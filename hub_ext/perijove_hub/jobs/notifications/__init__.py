"""Tell people how a job's runs go: by webhook or e-mail."""
