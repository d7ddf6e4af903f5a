"""What the interoperability tests share: processes, certificates, configs and a foreign client."""
