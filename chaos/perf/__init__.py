"""The performance gate: did a change make an HTTP service slower, on whatever machine there is?"""
