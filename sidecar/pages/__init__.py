"""The HTTP listeners for operators, Prometheus, the kubelet and the cluster, and their pages."""
