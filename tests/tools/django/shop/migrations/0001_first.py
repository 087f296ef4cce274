from django.db import migrations, models


def an_id():
    return models.BigAutoField("ID", primary_key=True, serialize=False, auto_created=True)


class Migration(migrations.Migration):
    initial = True
    dependencies = [("contenttypes", "0002_remove_content_type_name")]
    operations = [
        migrations.CreateModel(
            "Author",
            [
                ("id", an_id()),
                ("name", models.CharField(max_length=100)),
                ("email", models.CharField(max_length=100, unique=True)),
            ],
        ),
        migrations.CreateModel(
            "Tag",
            [
                ("id", an_id()),
                ("name", models.CharField(max_length=50)),
            ],
        ),
        migrations.CreateModel(
            "Book",
            [
                ("id", an_id()),
                ("title", models.CharField(max_length=200, db_index=True)),
                ("isbn", models.CharField(max_length=20, unique=True)),
                ("pages", models.IntegerField(default=0)),
                ("author", models.ForeignKey("shop.author", on_delete=models.CASCADE)),
                ("tags", models.ManyToManyField("shop.tag")),
            ],
        ),
    ]
