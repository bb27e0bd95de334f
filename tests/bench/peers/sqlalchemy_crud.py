"""The widespread pattern: FastAPI, an AsyncSession per request, a CRUD base class, response models."""

import os
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = (
    os.environ["DATABASE_URL"]
    .replace("postgresql://", "postgresql+asyncpg://")
    .replace("sqlite://", "sqlite+aiosqlite://")
    .replace("mysql://", "mysql+aiomysql://")
)
engine = create_async_engine(URL, pool_size=20, max_overflow=10, pool_pre_ping=True)
sessions = async_sessionmaker(engine, expire_on_commit=False, autoflush=False)


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    price: Mapped[Decimal]
    stock: Mapped[int | None]
    active: Mapped[bool]
    created_at: Mapped[datetime]


class ItemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    email: str
    price: Decimal
    stock: int | None
    active: bool
    created_at: datetime


class Page(BaseModel):
    data: list[ItemOut]


Model = TypeVar("Model", bound=Base)


class Crud(Generic[Model]):
    def __init__(self, model: type[Model]):
        self.model = model

    async def get(self, session: AsyncSession, key: Any) -> Model | None:
        return (await session.execute(select(self.model).where(self.model.id == key))).scalars().first()

    async def page(self, session: AsyncSession, first: int, rows: int):
        statement = select(self.model).where(self.model.id >= first).order_by(self.model.id).limit(rows)
        return (await session.execute(statement)).scalars().all()


items = Crud(Item)


async def get_session():
    async with sessions() as session:
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
            raise


Session = Annotated[AsyncSession, Depends(get_session)]
app = FastAPI()


@app.get("/queries/items/by_key", response_model=ItemOut)
async def by_key(id: int, session: Session):
    item = await items.get(session, id)
    if item is None:
        raise HTTPException(404)
    return item


@app.get("/queries/items/page", response_model=Page)
async def page(first: int, session: Session, rows: int = 100):
    return {"data": await items.page(session, first, rows)}
