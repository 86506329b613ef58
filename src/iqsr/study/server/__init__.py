"""The web server of a study: raters at links nobody can guess, votes that stay, an admin page.

served     the folder, the database and the key, as one object
steps      what a rater sees next, and what each request changes
guard      headers, limits and refusals, before any route
app        the routes, as a FastAPI application
run        the process: its port, its connections, its end
"""

from iqsr.study.server.run import serve

__all__ = ["serve"]
