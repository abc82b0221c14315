"""What the REST door takes and gives, as OpenAPI says it."""

from typing import Any

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, in one line."}},
}
_NULL_TEXT = {"type": ["string", "null"]}
_RESULT = {
    "type": ["object", "null"],
    "description": "The answer, once there is one.",
    "properties": {
        "answer": {"type": "string", "description": "The answer in one sentence."},
        "numbers": {"type": "string", "description": "The numbers that carry it."},
        "not_covered": {"type": "string", "description": "What it does not say."},
        "left_out": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Why candidates were not asked about, by name.",
        },
        "sha256": _NULL_TEXT,
        "verdict": {"enum": ["named", "none", "undecided", None]},
        "named": {"type": "array", "items": {"type": "string"}},
        "fitting": {"type": "array", "items": {"type": "string"}},
        "reason": _NULL_TEXT,
        "candidates": {
            "type": "object",
            "description": "By candidate p, q, score and the rest of a line of findings.jsonl.",
            "additionalProperties": {"type": "object"},
        },
    },
}
_JOB = {
    "type": "object",
    "required": ["id", "name", "state", "share", "ahead", "error", "result", "report"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "state": {"enum": ["waiting", "running", "done", "failed"]},
        "share": {"type": "number", "description": "How much is done, from 0 to 1."},
        "ahead": {"type": "integer", "description": "How many are answered before it."},
        "error": _NULL_TEXT,
        "result": _RESULT,
        "report": {"type": ["string", "null"], "description": "Where its page is."},
    },
}
_CANDIDATES = {
    "type": "object",
    "properties": {
        "candidates": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "image_shape": {"type": "array", "items": {"type": "integer"}},
                },
            },
        }
    },
}


def description(max_bytes: int) -> dict[str, Any]:
    """The OpenAPI description of the door, for the largest file that it takes."""
    image = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    upload = {
        "parameters": [
            _query("name", "What the image is called."),
            _query("candidate", "A candidate to ask about; may be given several times."),
            _query("resize", "Whether an image of another size is resized, true or false."),
        ],
        "requestBody": {
            "required": True,
            "description": f"The bytes of the image's file, at most {max_bytes}.",
            **image,
        },
    }
    faults = {
        "400": _answer("The image, or what was asked, cannot be used.", "Error"),
        "403": _answer("The request comes from a page of another site.", "Error"),
        "413": _answer("The file is too large.", "Error"),
        "503": _answer("Too many images are waiting.", "Error"),
    }
    gone = {"404": _answer("There is no such question.", "Error")}
    one = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": _TEXT}]}
    page = {"description": "The page.", "content": {"text/html": {"schema": _TEXT}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Which of these models made this image, or none?",
            "version": "1",
        },
        "paths": {
            "/v1/candidates": {
                "get": _operation("Lists the candidates.", {"200": _answer("They.", "Candidates")})
            },
            "/v1/ask": {
                "post": upload
                | _operation(
                    "Asks about an image, and waits for the answer.",
                    {"200": _answer("The answer.", "Job"), **faults},
                )
            },
            "/v1/jobs": {
                "post": upload
                | _operation(
                    "Asks about an image, and does not wait.",
                    {"202": _answer("The question.", "Job"), **faults},
                )
            },
            "/v1/jobs/{id}": {
                "get": one
                | _operation("How far it is.", {"200": _answer("The question.", "Job"), **gone})
            },
            "/v1/jobs/{id}/report": {
                "get": one | _operation("The answer as a page.", {"200": page, **gone})
            },
        },
        "components": {"schemas": {"Error": _ERROR, "Job": _JOB, "Candidates": _CANDIDATES}},
    }


_TEXT = {"type": "string"}


def _query(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": _TEXT}


def _operation(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": responses}


def _answer(text: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": text, "content": content}
