"""The models as they are after the last migration."""

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)
    email = models.CharField(max_length=100, unique=True)


class Label(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Book(models.Model):
    title = models.CharField(max_length=200, db_index=True)
    isbn = models.CharField(max_length=20, unique=True)
    page_count = models.CharField(max_length=20, default="0")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
    labels = models.ManyToManyField(Label)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["author", "title"], name="one_title_an_author")
        ]
