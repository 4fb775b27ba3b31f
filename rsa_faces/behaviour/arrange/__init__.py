"""Multi-arrangement in the browser: raters drag images into an arena, the server keeps the trials.

What the web needs (FastAPI, uvicorn, SQLAlchemy; extra "arrange") is imported when it is used.
"""

from rsa_faces.behaviour.arrange._config import ArrangeConfig, load_arrange_config
from rsa_faces.behaviour.arrange._serve import (
    create_app,
    export_person,
    export_study,
    forget_raters,
    new_token,
    serve,
    void_trial,
)

__all__ = [
    "ArrangeConfig",
    "create_app",
    "export_person",
    "export_study",
    "forget_raters",
    "load_arrange_config",
    "new_token",
    "serve",
    "void_trial",
]
