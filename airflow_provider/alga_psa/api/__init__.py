"""AlgaPSA's API: routes, models, requests, and the texts of its errors."""
