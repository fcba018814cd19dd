"""A small shop: items of a catalogue, found by number."""

from fastapi import FastAPI, HTTPException

app = FastAPI()
PRICES = {number: 1 + number % 97 for number in range(1000)}


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer that it serves."""
    return {"status": "ok"}


@app.get("/items/{number}")
async def item(number: int) -> dict[str, int]:
    """Return an item's price, and those of the items after it."""
    if number not in PRICES:
        raise HTTPException(404)
    following = sum(PRICES.get(number + step, 0) for step in range(1, 20))
    return {"number": number, "price": PRICES[number], "following": following}
