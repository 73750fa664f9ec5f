"""An application of FastAPI with payable views of every kind; FastAPI evaluates the annotations where they stand."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from paypercall.asgi import Payment
from paypercall.paywall import Running, WrongUse
from tests.paywall.merchant import Shop

Runs = list[str]

OTHER_ASSET = "A" * 43 + "="


class Mended(Exception):
    """For which the application has an error handler that answers 200."""


def make_fastapi(shop: Shop, runs: Runs) -> FastAPI:
    app = FastAPI()
    payments = Payment(app, shop.server, prices={"DELETE /by-table/{name:path}": 30})
    charge = payments.dependency

    @app.get("/by-table/{name:path}")
    @app.delete("/by-table/{name:path}")
    def by_table(name: str) -> str:
        return name

    @app.get("/temperature")
    def temperature(payment: Annotated[Running, Depends(charge(100))]) -> dict[str, Any]:
        runs.append("temperature")
        return {"celsius": 21, "paid": payment.amount}

    @app.get("/async", dependencies=[Depends(charge(100))])
    async def asynchronous() -> dict[str, int]:
        return {"answer": 42}

    async def price(request: Request, length: int) -> int:
        return int(length) * int(request.query_params.get("factor", "1"))

    @app.get("/by-length/{length}", dependencies=[Depends(charge(price))])
    def by_length(length: int) -> dict[str, int]:
        return {"length": length}

    @app.post("/form", dependencies=[Depends(charge(100))])
    def form(text: Annotated[str, Form()]) -> dict[str, str]:
        return {"text": text}

    @app.post("/json", dependencies=[Depends(charge(100))])
    def with_json(content: dict[str, Any]) -> dict[str, Any]:
        return {"text": content["text"]}

    async def price_of_text(request: Request) -> int:
        return len((await request.json())["text"])

    @app.post("/priced-json", dependencies=[Depends(charge(price_of_text))])
    def priced_json(content: dict[str, Any]) -> dict[str, Any]:
        return {"text": content["text"]}

    @app.api_route("/anything", methods=["GET", "POST"], dependencies=[Depends(charge(100))])
    async def anything(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.get("/other-asset", dependencies=[Depends(charge(100, OTHER_ASSET))])
    def other_asset() -> None:
        runs.append("other-asset")

    @app.get("/free", dependencies=[Depends(charge(0))])
    def free() -> dict[str, Any]:
        payments.refund(5)
        return {"amount": payments.amount, "asset": payments.asset}

    @app.get("/free-first", dependencies=[Depends(charge(0)), Depends(charge(100))])
    @app.get("/free-twice", dependencies=[Depends(charge(0)), Depends(charge(lambda request: None))])
    def free_first() -> dict[str, Any]:
        return {"paid": payments.amount}

    @app.get("/teapot", dependencies=[Depends(charge(100))])
    def teapot() -> None:
        raise HTTPException(418, "short and stout")

    @app.get("/broken", dependencies=[Depends(charge(100))])
    def broken() -> None:
        runs.append("broken")
        raise RuntimeError("the view is broken")

    @app.get("/mended", dependencies=[Depends(charge(100))])
    def mended() -> None:
        raise Mended

    @app.exception_handler(Mended)
    def mend(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"mended": True})

    @app.get("/nothing-found", dependencies=[Depends(charge(100))])
    def nothing_found() -> dict[str, list[str]]:
        payments.refund(60)
        return {"found": []}

    @app.get("/unpaid")
    def unpaid() -> str:
        try:
            payments.refund()
        except WrongUse as error:
            return error.code
        return "refunded"

    @app.get("/odd", dependencies=[Depends(charge(lambda request: "much"))])
    def odd() -> None:
        runs.append("odd")

    @app.get("/twice", dependencies=[Depends(charge(1)), Depends(charge(2))])
    def twice() -> None:
        runs.append("twice")

    return app
