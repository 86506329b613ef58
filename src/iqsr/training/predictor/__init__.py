"""Training of quality predictors: from full-reference teachers, and from people's preferences."""
