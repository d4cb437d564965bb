"""pydantic-ai: an agent with one tool; streamed or not."""
import asyncio
import json
import os
import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

agent = Agent(OpenAIChatModel("auto", provider=OpenAIProvider(base_url=os.environ["BASE"], api_key="sk-client")),
              instructions="Be brief.")


@agent.tool_plain
def weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


async def main():
    if sys.argv[1] == "stream":
        async with agent.run_stream("What is the weather in Bern?") as r:
            text = ""
            async for piece in r.stream_text(delta=True):
                text += piece
        print(json.dumps({"text": text}))
    else:
        r = await agent.run("What is the weather in Bern?")
        print(json.dumps({"text": r.output}))


asyncio.run(main())
