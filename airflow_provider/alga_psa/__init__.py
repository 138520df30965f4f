"""AlgaPSA (Nine Minds): automation rules and their executions. Experimental: releases so far can't store executions."""
