"""The pictures of a study: what each one shows is computed once, then drawn by matplotlib (png.py) and Plotly (html.py)."""
