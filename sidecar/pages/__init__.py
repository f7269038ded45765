"""HTTP listeners for people, Prometheus, the kubelet and the cluster, and their pages."""
